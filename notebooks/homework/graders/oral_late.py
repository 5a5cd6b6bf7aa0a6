"""Questions for a talk about the last three homeworks."""

from walkthrough.homework.question import line, look, number


def other_basis(W_V, W_O):
    """The same chain, its first head written with W_V doubled and W_O halved."""
    W_V, W_O = W_V.clone(), W_O.clone()
    W_V[0], W_O[0] = 2 * W_V[0], W_O[0] / 2
    return W_V, W_O


FOURTH = (
    number("hw4-1", "Your largest number is {value}, at {place}. Which head reads layer 0 by which of its inputs, and how would you find out whether so "
           "much is luck?",
           "The row is the head of layer 1, the columns Q, K, V; 1 is the mean over rotations. Draw random rotations between S and B and see how often "
           "they reach it: the mean says nothing of the spread."),
    number("hw4-2", "Your score is {value}. We doubled W_V of the first head and halved its W_O: now it is {then}. What should it be, and why?",
           "The same. Only the product W_V W_O belongs to the model.", other_basis),
    number("hw4-3", "Your first W_V is {shape}, its largest number in size {value}. What did you put between W_V and W_O, and what undoes it? Why does the given "
           "program notice what the model does not?",
           "An invertible matrix and its inverse. The program takes the norm of a product in the other order, in the heads' own axes; traces and eigenvalues "
           "survive the exchange, norms do not."),
    number("hw4-4", "The first matrix of your first head is {shape}, with {value} at {place}. What does that axis of the stream hold? What does the first head "
           "note at each place, and what does the second one match with what?",
           "One way: the first head looks one back and notes the token before; the second matches the current token with the current token at an earlier place, "
           "and says what is noted there. Others exist: let the student show which axes are read and written."),
    number("hw4-5", "Your largest cost in size is {value}, at {place} of {shape}. Through which input is that? We gave the same prompts for both, and it became "
           "{then}. What must it be?",
           "The first index is queries, keys, values. Nothing is replaced then: 0.",
           lambda model, tokens, others, *rest: (model, tokens, tokens, *rest)),
    line("hw4-1", "Where does the shape of S come in, and why is the square of the score averaged and not the score?",
         "The mean of the squared norm over rotations has an exact value, from traces; that of the norm has not. Only the inner dimension, d_model, remains in it."),
    line("hw4-2", "Where is the given program wrong, in one sentence, and on which line of yours is that mended?",
         "It takes a norm after exchanging the order of factors, as one may do in a trace only."),
    line("hw4-3", "Which heads of the chain did you rewrite, and how does your factor depend on `factor`?",
         "One is enough, if the rewriting is large enough; or several. The size has to grow with what is asked."),
    line("hw4-4", "What keeps your second head from looking at its own place?",
         "For instance a score for positions, or that nothing is noted yet there; a tie would halve the attention."),
    line("hw4-5", "Where do you see to it that nothing but this one input of this one head is changed?",
         "A hook on hook_q, hook_k or hook_v of `late` for one head only; what `early` writes comes from runs that are untouched."),
    look("hw4-1", "cell-07", "Your run printed this. How can a head read one head at several times chance, and the whole layer not above it?",
         "The other heads write more, elsewhere; the average over the layer hides the one."),
    look("hw4-5", "cell-27b", "This is the plot of your run. Which input carries the induction, and what would another early head show?",
         "The keys. Another head is the control: it should cost next to nothing there."),
)  # fmt: skip

FIFTH = (
    number("hw5-1", "Your largest oddness in size is {value}, of token {place}. We put the model itself in the place of the first control, and it became {then}. Why can "
           "it not be above 0 then?",
           "The least divergence is that from itself, 0; the largest one between controls, which is never below 0, is subtracted.",
           lambda model, controls: (model, [model, *controls[1:]])),
    number("hw5-2", "Your largest worth in size is {value}, of head {place}. We gave the same prompts with and without the source: it became {then}. What does a negative "
           "worth mean?",
           "0, since the same is subtracted. Negative: the head is missed more without the source than with it.",
           lambda model, prompts, without, outs: (model, prompts, prompts, outs)),
    number("hw5-3", "You found {value}. Choose one of your sources: which two runs show that it is one, and what did the controls do in the same two?",
           "The same random text and trigger, with the source and with a random token in its place: the probability of its words moves by nearly half or more; in "
           "the controls next to nothing."),
    number("hw5-4", "Your table is {value}. The text had one word behind each source and trigger. Why has your table two?",
           "A head's raise is a number of (trigger, source) times one of (source, word): a trigger can scale what a source writes, and not choose between words. So "
           "each trigger says what the other one calls for as well."),
    line("hw5-1", "Why the least divergence over the controls, and the largest between them?",
         "Both are the cautious choice: a token counts as odd only if it is farther from every control than any two controls are apart."),
    line("hw5-2", "What are the axes of the hook that you set to zero, and why do you delete one head at a time?",
         "batch, pos, head, d_head. Two at once would share the loss between them."),
    line("hw5-3", "How did you come from the weights to these words, and what did you try that led nowhere?",
         "The student's own way. Listen for a baseline at each step."),
    line("hw5-4", "Over what did you average before you applied the threshold of a fifth?",
         "Over random texts and places of the source, after the softmax at the last position."),
    look("hw5-1", "cell-06", "Your run printed these tokens. How many of them would you expect by luck alone, and how would you count?",
         "Put a control in the model's place, against the other controls, and look at its oddest tokens."),
    look("hw5-1", "cell-06b", "This is the plot of your run. Where is the baseline in it?",
         "The same measure with a control in the model's place."),
)  # fmt: skip

SIXTH = (
    number("hw6-1", "Your new W_V is {shape}; its largest number in size is {value}. Which of the two matrices did you change on this input, and how did your function "
           "decide? Which number must come out for the stream and the logit that were given?",
           "The one whose least change has the smaller norm of the change of W_V W_O. Exactly `wanted`."),
    number("hw6-3", "Your first head has a W_V of {shape}. Why did it get so many of the ranks? And what is the constant for?",
           "Ranks go to the largest singular values of what the heads add in the text, less its mean, over all heads together. The constant carries the part of the "
           "mean that the cut takes away."),
    number("hw6-4", "Your three numbers are {all}. Say each in a sentence. How can a set of heads be needed and yet not be enough?",
           "What the set does alone, what is lost without it, how many other sets do as well. Other heads take part: without the set nothing works, with it "
           "alone something else is missing."),
    line("hw6-1", "How do you leave alone what the head writes for the kept streams, and why is the change of rank one?",
         "The change is a column times a row; the column's side is made at right angles to the kept streams (in the head's own space, if W_O changes). One number is "
         "asked, so one direction is enough."),
    line("hw6-2", "Which of your two tokens leads the head there, and which is said? Which matrices decide each?",
         "The first is matched: what the previous-token head writes of it, read by W_K of the late head. The second is said: its row of the OV table."),
    line("hw6-2", "Why must the second token be the best by a margin over all others?",
         "The model says the largest logit. Raising the wrong token is not enough if another one is raised more."),
    line("hw6-3", "Why do you take the mean out before the cut?",
         "A constant costs no rank. Left in, it would take one direction."),
    line("hw6-4", "How do you count the rivals, and is the set itself among them?",
         "All other sets of the same size, over all layers; the share that does as well or better."),
    look("hw6-1", "cell-07", "Your run printed this. Some of the rise is left after the edit. Who carries it?",
         "Other heads and the direct path: one head's part was taken away."),
    look("hw6-3", "cell-17c", "This is the plot of your run. Where do the two curves differ most, and what does plain SVD not know?",
         "Where few ranks are kept. It does not know which streams the head reads in text."),
    look("hw6-4", "cell-22", "Your run printed this. What is the random pair for?",
         "It is the control: what a pair of heads does by luck."),
)  # fmt: skip
