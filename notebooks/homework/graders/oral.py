"""Questions for a talk about each homework, with what to listen for. The command `oral` chooses three for each student."""

from graders.oral_late import FIFTH, FOURTH, SIXTH
from walkthrough.homework.question import line, look, number


def other_last_token(model, tokens):
    """The same prompts with another last token."""
    tokens = tokens.clone()
    tokens[:, -1] = 1 + tokens[:, -1] % (model.cfg.d_vocab - 1)
    return model, tokens


FIRST = (
    number("hw1-1", "Your largest number in size is {value}, at {place} of {shape}. Which writer is that, at which position does it "
           "write, and which token is predicted there? We then changed the last token of each prompt: this number is now {then}. "
           "Which of your numbers may change, and why only those?",
           "The first index is the writer (0 is the embedding), the last one the position that predicts the next token. The last token "
           "is only predicted, and read by no position that predicts. So only the last column changes: there another token is asked for.",
           other_last_token),
    number("hw1-2", "Your new W_QK has {value} at {place}, its largest number in size. Suppose that the second laboratory had kept the "
           "basis, so that W_E_new is W_E: what must both matrices be? And why does the inverse stand on both sides of W_QK, but only on "
           "the left of W_OV?",
           "The matrices that were given. A score x W_QK x^T must stay when x becomes xM, so W_QK becomes M^-1 W_QK M^-T. W_OV reads a "
           "stream and writes one: M^-1 W_OV M."),
    number("hw1-3", "The largest entry of your table is {value}, at {place}. We set alpha to 1000 for the same text, and it became {then}. "
           "Where is it going, and why? What would alpha = 0 do to the row of a source that never occurs?",
           "To 1 / (d_vocab - 1): with so many made-up counts all guesses but <BOS> are nearly alike. With alpha 0 such a row is 0 / 0.",
           lambda text, d_vocab, gap, alpha: (text, d_vocab, gap, 1000.0)),
    number("hw1-4", "The largest entry of your table in size is {value} nats, at {place}. We asked for as many ranks as d_model, and it became "
           "{then}. Which table is that, and why do the shares no longer matter?",
           "The log-softmax of W_E W_U itself: the table has no more ranks than that, so the nearest one is the table, by whatever weights.",
           lambda W_E, W_U, share, rank: (W_E, W_U, share, W_E.shape[1])),
    line("hw1-1", "The parts that you return add up to something. To what exactly, and which part of your code makes that so?",
         "To the logit of the next token above the mean of all logits at that position. Each part is a difference of streams (or an output) "
         "at the positions but the last, times the centred column of W_U."),
    line("hw1-2", "How do you get M, which nobody gave you? What if W_E had fewer rows than the stream has dimensions?",
         "From W_E M = W_E_new, by least squares or a pseudo-inverse. With too few tokens M is not determined."),
    line("hw1-3", "Where do you see to it that no pair crosses from one document into the next? What would go wrong otherwise?",
         "By comparing a running count of <BOS> at both ends of the pair, or by going document by document. Otherwise the end of one file "
         "counts as a source for the start of another."),
    line("hw1-4", "Where do the shares come in, and where are they taken out again? Why is it a square root?",
         "Rows are stretched by the root of their share before the SVD and shrunk after: the sum of squares then counts each row by its share."),
    look("hw1-1", "cell-06b", "This is the plot of your run. Read it to me: who gets the credit to the right of the grey line, and what does it "
         "not say about layer 0?",
         "Layer 1. Direct effects only: layer 0 may have done much through layer 1, which reads what it wrote."),
    look("hw1-2", "cell-11", "Your run printed this. Why do the eigenvalues of W_OV stay and those of W_QK not, and what of W_QK does stay?",
         "W_OV becomes M^-1 W_OV M, which has the same eigenvalues. W_QK is a form: M^-1 W_QK M^-T keeps its signs (Sylvester)."),
    look("hw1-3", "cell-16", "Your run printed this. Why is the loss at gap 16 above that of knowing only how common each character is?",
         "Hardly any information is left at that distance, and the table has many more numbers to estimate from the same text."),
)  # fmt: skip

SECOND = (
    number("hw2-1", "Your largest number in size is {value}, at {place} of {shape}. Which wire is that? We then gave the same prompt for both: "
           "it became {then}. What must it be, and what must your numbers be at positions before the prompts differ?",
           "The first index is Q, K, V. Nothing is changed then: 0, up to rounding. Before the differing token all is 0 as well, since nothing "
           "there sees later tokens.",
           lambda model, tokens, changed, layer, head: (model, tokens, tokens, layer, head)),
    number("hw2-2", "Your largest vote in size is {value}, at {place}, which is query and token. We exchanged answer and rival, and it became "
           "{then}. Why? And what is the sum of your whole row?",
           "It changes its sign, since a difference of logits does. The row's sum is all that this head adds to the difference at that query.",
           lambda model, tokens, head, answer, rival: (model, tokens, head, rival, answer)),
    number("hw2-3", "Your matrix is {shape}, and its largest number in size is {value}, at {place}. Which final position and which token's embedding "
           "does this place join? Which blocks must be 0?",
           "Divide row and column by d_model: the whole parts are final position and token. Blocks above the diagonal are 0: no position "
           "reads a later one, in no layer, so neither does the product."),
    number("hw2-4", "On the two heads above your function said {value}. What would it say if W_Q of the second were doubled and W_K halved? And if "
           "W_V alone were doubled?",
           "The first changes nothing, for only the product W_Q W_K^T counts. The second makes W_V W_O twice as large: another head."),
    line("hw2-1", "Why is the sum of the three changes not the whole change? Which two wires must be moved together to see what is missing?",
         "Queries and keys meet in a product inside a softmax, and the values are weighed by its result. Any two can interact; values alone enter linearly."),
    line("hw2-2", "What happens in your code to a token that stands in two places? Show me the operation.",
         "Its columns are added (index_add, a sum over matching places, a product with a one-hot matrix). Assigning would keep one of them."),
    line("hw2-3", "Where does the skip connection come in, and in which order do you multiply the layers? What if the order were reversed?",
         "An identity is added to each layer's sum of heads; the later layer stands on the left. Reversed, the later layer would act first."),
    line("hw2-4", "Why do you compare products and not the matrices? And where is the square root of d_head?",
         "A head can be written in many ways (W_Q M, W_K M^-T). Scores are divided by each head's own root, so it belongs into the comparison."),
    look("hw2-1", "cell-07", "Your run printed this: the sum misses part of the whole. What is in that part?",
         "What the wires change together: a pattern that has moved, times values that have moved, and queries that meet changed keys."),
    look("hw2-2", "cell-12", "This is the plot of your run. Take a short bar: which two reasons can it have, and which of them can change with the prompt?",
         "The head hardly looks there (the pattern), or has little to say about that token (W_OV). Only the pattern depends on the prompt."),
    look("hw2-4", "cell-23", "Your run printed this. What does it say about comparing two models weight by weight?",
         "That it compares names, not models: the rewritten model is the same in every head, and its matrices look as different as another seed's."),
)  # fmt: skip

THIRD = (
    number("hw3-1", "Your largest vote in size is {value}, at {place} of {shape}. Which path is that, reading which position? We exchanged answer and "
           "rival, and it became {then}. What is the sum of your whole table?",
           "Row 0 is the direct path, row 1 + h is head h; the column is the source's position. The sum is logit(answer) less logit(rival); exchanged, "
           "every sign changes.",
           lambda model, tokens, position, answer, rival: (model, tokens, position, rival, answer)),
    number("hw3-3", "You returned a table of {shape}; its largest number in size is {value}, at {place}. Take one number that you filled in: which known "
           "ones force it? Which single further measurement would force most of what is still free?",
           "In a table of rank one, entry (d, o) is (d, o') times (d', o) over (d', o'). Join destinations and outs that are known together: all "
           "pairs within one connected part are forced. A measurement between the two largest parts."),
    number("hw3-4", "The largest entry of your vector is {value}, token {place}. We doubled A, and it became {then}. What happened to the eigenvalue, and "
           "why not to the vector?",
           "The table and its eigenvalue are doubled; directions, at length 1, stay.", lambda A, B: (2 * A, B)),
    line("hw3-1", "Why does the direct path have one vote only, and in which column?",
         "It reads the current token alone, at `position`."),
    line("hw3-2", "There are d_vocab cubed triples. Where do you avoid them, and where does the destination choose on its own?",
         "A raise is a sigmoid of (destination, source) times a number of (source, out): for each source the best out and the best destination are found "
         "apart. If the second number is negative, the destination that looks least is best."),
    line("hw3-2", "What does `<BOS>` do in your code, and what would change if you left it out?",
         "The attention that a source gets is taken from <BOS>: scores are compared with its score, and what it says is subtracted."),
    line("hw3-3", "May an entry that you just filled in force another one? Where does your code see to that?",
         "Yes: it must go on until nothing changes, or find connected parts."),
    line("hw3-4", "From which small matrix do you get the eigenvector of the large table, and how do you come back?",
         "From B A (d_head by d_head), with B centred: if y B A = lambda y then y B is a row eigenvector of A B."),
    look("hw3-1", "cell-06", "Your run printed this. Which text would you change so that this vote vanishes, and what would the pattern do?",
         "Replace the token that was read. Softmax then gives its attention to the others, so that their votes change as well."),
    look("hw3-2", "cell-11", "These are the strongest skip-trigrams of your run. Choose one head that copies: what shows it? And choose a triple that is odd: why "
         "may it be there?",
         "Source and out are the same word in most rows. Odd ones: no text corrects pairs that never meet."),
    look("hw3-4", "cell-23", "Your run printed this about your mixture. What is the comparison with the median head good for?",
         "It is the baseline: some difference would be found for any head."),
)  # fmt: skip

TASKS = {"hw1": FIRST, "hw2": SECOND, "hw3": THIRD, "hw4": FOURTH, "hw5": FIFTH, "hw6": SIXTH}
