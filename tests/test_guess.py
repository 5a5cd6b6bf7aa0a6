"""A guess is told what is right in either order, and bad input gets one sentence."""

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from walkthrough.widgets import Guess


def test_who_guesses_first_is_told_when_the_answer_comes(capsys):
    guess = Guess("which head?", ["0:7", "1:3"])
    assert guess.value is None
    guess.guess = "1:3"
    assert "next cells" in guess.reply
    guess.answer("0:7")
    assert capsys.readouterr().out == "Answer: 0:7. You guessed: 1:3.\n"
    assert "Answer: 0:7. You guessed: 1:3." in guess.reply


def test_who_guesses_afterwards_is_told_at_once(capsys):
    guess = Guess("how many?", unit="nats")
    guess.answer(2)
    assert capsys.readouterr().out == "Answer: 2 nats. (You made no guess.)\n"
    assert guess.reply == ""
    guess.guess = "0.5"
    assert "Answer: 2 nats. You guessed: 0.5 nats." in guess.reply


@pytest.mark.parametrize("text", ["a few", "nan", "1/2", "<b>"])
def test_what_is_no_number_gets_a_sentence_and_stops_nothing(text, capsys):
    guess = Guess("how many?")
    guess.guess = text
    assert "is not a number: write it like 0.25 or 40" in guess.reply
    guess.answer(2)
    assert "Answer: 2. (You made no guess.)" in capsys.readouterr().out


@pytest.mark.parametrize("choices", [["one"], ["a", "b", "a"]])
def test_choices_that_are_none_are_refused(choices):
    with pytest.raises(ValueError, match="at least two choices that differ"):
        Guess("which?", choices)


def test_an_answer_that_cannot_be_guessed_is_refused():
    with pytest.raises(ValueError, match="none of the choices"):
        Guess("which?", ["a", "b"]).answer("c")


def test_where_no_kernel_runs_question_and_choices_are_text():
    data, _ = Guess("is W_E < W_U?", ["<yes>", "no"])._repr_mimebundle_()
    assert "is W_E &lt; W_U?" in data["text/html"]
    assert "<li>&lt;yes&gt;</li><li>no</li>" in data["text/html"]
    assert data["text/plain"] == "Guess('is W_E < W_U?')"


def test_a_notebook_that_asks_runs_from_top_to_bottom():
    source = "from walkthrough import widgets\nguess = widgets.Guess('which?', ['a', 'b'])\nguess"
    nb = new_notebook(cells=[new_code_cell(source), new_code_cell("guess.answer('b')")])
    NotebookClient(nb, kernel_name="python3", timeout=100).execute()
    assert nb.cells[1].outputs[0].text == "Answer: b. (You made no guess.)\n"
