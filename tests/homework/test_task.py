"""The verdict on a task: any right method, each mistake by its name, and no number given away."""

import torch

from walkthrough.exercises.check import NOT_ATTEMPTED, RIGHT, WRONG
from walkthrough.homework.task import Mistake, Task, seed_for, verdict


def cases(seed):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(n, 3, generator=generator), torch.randn(3, 4, generator=generator)) for n in (5, 6)]


TASK = Task(
    "product", 2, "notebook 09, “Nowhere”", cases, oracle=lambda a, b: a @ b,
    mistakes=(Mistake("squared", "notebook 08, “Squares”", lambda a, b: (a @ b) ** 2),),
)  # fmt: skip


def test_any_method_any_precision():
    for attempt in (
        lambda a, b: a @ b,
        lambda a, b: (a.double() @ b.double()).numpy(),
        lambda a, b: [[sum(x * y for x, y in zip(row, col)).item() for col in b.T] for row in a],
        lambda a, b: torch.einsum("ij,jk->ik", a, b).requires_grad_(),
    ):
        assert verdict(TASK, attempt, 3).mark == RIGHT


def test_a_mistake_is_named_with_its_own_place_and_others_with_the_tasks():
    assert verdict(TASK, lambda a, b: (a @ b).square(), 3).sentence == "squared (see notebook 08, “Squares”)"
    for attempt, words in (
        (lambda a, b: a, "returned one of its inputs, unchanged"),
        (lambda a, b: 3.0, "the same answer for different inputs"),
        (lambda a, b: (a @ b).T, "transposed"),
        (lambda a, b: -(a @ b), "sign"),
        (lambda a, b: 2 * (a @ b), "factor"),
        (lambda a, b: torch.cat([(a @ b)[1:], 0 * b[:1] + 1]), "off by one"),
        (lambda a, b: None, "None"),
        (lambda a, b: "text", "of type str"),
        (lambda a, b: 1 / 0, "ZeroDivisionError"),
        (lambda a, b: (a @ b) ** 3, "no usual mistake"),
        (lambda a, b: (a @ b) * float("nan"), "nan"),
        (lambda a, b: (a @ b) / 0, "infinity"),
    ):
        result = verdict(TASK, attempt, 3)
        assert result.mark == WRONG
        assert words in result.sentence
        assert result.sentence.endswith("(see notebook 09, “Nowhere”)")


def test_one_case_is_not_enough_for_an_answer_to_be_right_or_to_be_a_mistake():
    small = lambda a, b, then: a @ b if len(a) == 5 else then
    assert verdict(TASK, lambda a, b: small(a, b, (a @ b) ** 3), 3).mark == WRONG
    assert verdict(TASK, lambda a, b: (a @ b) ** 3 if len(a) == 5 else a @ b, 3).mark == WRONG
    for half in (
        lambda a, b: small(a, b, 0) ** 2 if len(a) == 5 else (a @ b) ** 3,
        lambda a, b: small(a, b, (a @ b) ** 2),
    ):
        assert "squared" not in verdict(TASK, half, 3).sentence


def test_infinity_in_a_right_answer_does_not_make_every_answer_right():
    def masked(a, b):
        return (a @ b).masked_fill((a @ b) < 0, -torch.inf)

    task = Task("masked", 1, "notebook 03, “Mask”", cases, oracle=masked)
    assert verdict(task, lambda a, b: masked(a.double(), b.double()), 0).mark == RIGHT
    assert verdict(task, lambda a, b: 1.1 * masked(a, b), 0).mark == WRONG
    assert verdict(task, lambda a, b: a @ b, 0).mark == WRONG


def test_a_stub_is_not_a_mistake():
    def stub(a, b):
        raise NotImplementedError

    assert verdict(TASK, stub, 0).mark == NOT_ATTEMPTED
    assert verdict(TASK, ..., 0).mark == NOT_ATTEMPTED


def test_no_value_of_the_answer_is_told():
    right = [a @ b for a, b in cases(5)]
    told = verdict(TASK, lambda a, b: (a @ b) + 1e-2 * torch.randn(len(a), 4), 5).sentence
    assert not any(f"{x:.2f}" in told for answer in right for x in answer.flatten().tolist())


def test_an_answer_that_spoils_its_inputs_is_judged_on_the_unspoilt_ones():
    def spoils(a, b):
        product = a @ b
        a.zero_()
        return product

    assert verdict(TASK, spoils, 1).mark == RIGHT


def test_a_judge_takes_the_place_of_the_oracle():
    task = Task("x", 1, "notebook 00, “X”", lambda seed: [()], judge=lambda x: None if x > 3 else "too small")
    assert verdict(task, 4, 0).mark == RIGHT
    assert verdict(task, 3, 0).sentence == "too small (see notebook 00, “X”)"


def test_every_student_has_inputs_of_their_own_and_the_same_ones_again():
    seeds = {seed_for(secret, who, task) for secret in "ab" for who in ("ann", "bob") for task in ("hw1-1", "hw1-2")}
    assert len(seeds) == 8
    assert seed_for("a", "ann", "hw1-1") == seed_for("a", "ann", "hw1-1")
    assert seed_for("a", "nn", "x") != seed_for("an", "n", "x")
    assert not torch.equal(cases(seed_for("a", "ann", "x"))[0][0], cases(seed_for("a", "bob", "x"))[0][0])
