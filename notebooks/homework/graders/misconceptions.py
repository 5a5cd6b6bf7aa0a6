"""Which misconceptions a teacher should know first: three or four for each task, chosen by hand.

They were chosen for what they teach: a step of the course is behind each. They are no statistics, for no class has been
observed. Each is in a teacher's words, with the beginning of the sentence that a student hears.
"""

FIRST: dict[str, tuple[tuple[str, str], ...]] = {
    "hw1-1": (
        ("counts the whole stream, not what each writer adds", "those are whole streams"),
        ("forgets that a softmax ignores what all logits share", "that is the logit itself"),
        ("scores a position on the token that it reads", "each position is scored on"),
        ("deletes a writer where its direct effect was asked", "that is what is lost when a writer is deleted"),
    ),
    "hw1-2": (
        ("transposes where it should invert", "transposed where it should be inverted"),
        ("takes the change of basis the wrong way round", "the change of basis is the wrong way round"),
        ("changes W_QK like W_OV, though it only reads", "W_QK was changed like W_OV"),
        ("assumes that the new basis is a turned one", "that is the nearest rotation"),
    ),
    "hw1-3": (
        ("lets documents run into each other", "documents run into each other"),
        ("exchanges rows and columns", "transposed: rows are the source"),
        ("divides by all pairs, so that rows are no conditional probabilities", "divided by the number of all pairs"),
        ("smooths after the division", "smoothed after the division"),
    ),
    "hw1-4": (
        ("keeps coordinates of the stream, which mean nothing", "those are the first coordinates"),
        ("approximates W_E instead of the table", "only the embedding was approximated"),
        ("ignores how common a token is", "all tokens count alike"),
        ("spends rank on what a softmax ignores", "rank was spent on a constant"),
    ),
    "hw2-1": (
        ("moves the pattern along with the values", "the pattern moved with the values"),
        ("changes the wires one on top of the other", "the wires were changed one on top"),
        ("masks with 0 instead of −∞", "the scores of later keys were set to 0"),
        ("lets a later head read bare embeddings", "your head reads the embeddings"),
    ),
    "hw2-2": (
        ("keeps one vote of a token that stands in several places", "a token that stands in several places"),
        ("reads the OV table the wrong way round", "the OV table is read the wrong way round"),
        ("averages attention over places, where a head adds", "attention was averaged over the places"),
        ("adds up probabilities", "probabilities do not add"),
    ),
    "hw2-3": (
        ("adds layers, so that no head reads an earlier one", "the layers were added"),
        ("loses the residual connection", "the residual connection is missing"),
        ("lets heads of one layer feed each other", "heads of one layer feed each other"),
        ("orders Kronecker factors for stacked columns", "your Kronecker factors are in the order"),
    ),
    "hw2-4": (
        ("compares matrices that can be written otherwise", "the four matrices were compared one by one"),
        ("forgets each head's own √d_head", "scores are divided by √d_head"),
        ("compares sizes or spectra", "sizes or spectra were compared"),
        ("compares one circuit only", "only where they look was compared"),
    ),
    "hw3-1": (
        ("forgets the direct path", "the direct path is forgotten"),
        ("lets the direct path read every source", "the direct path votes at every source"),
        ("moves the token that looks, not the one looked at", "the token at the position itself was moved"),
        ("sends positions through W_V", "positions went through W_V"),
    ),
    "hw3-2": (
        ("forgets that attention is taken from <BOS>", "what `<BOS>` moves is forgotten"),
        ("counts a raise that all outs share", "not centred"),
        ("takes log-odds for attention", "attention is a share, not a log-odds"),
        ("always takes the destination that looks most", "always the keenest destination"),
    ),
    "hw3-3": (
        ("takes what is unknown for 0", "an unknown raise is not a raise of 0"),
        ("adds where a head multiplies", "the two tables were added"),
        ("stops before what is forced has forced more", "it stopped too early"),
        ("fills entries that are free", "some entries of yours are free"),
    ),
    "hw3-4": (
        ("takes the eigenvalue of the largest size, which is negative", "largest in size is not largest"),
        ("takes an eigenvector for columns", "that eigenvector is for columns"),
        ("takes a singular vector", "a singular vector of the outs"),
        ("leaves in what all outs share", "the constant in each row was left in"),
    ),
    "hw4-1": (
        ("adds the W_OV of heads that look at different places", "the W_OV were added up"),
        ("exchanges what queries and keys read", "Q and K are exchanged"),
        ("takes chance from d_head instead of d_model", "chance has nothing to do with d_head"),
        ("averages scores instead of squares", "scores were averaged"),
    ),
    "hw4-2": (
        ("mends the chain, and not the norms it is divided by", "the chain is mended"),
        ("takes a norm from eigenvalues", "a norm comes from singular values"),
        ("multiplies the scores of neighbours", "the scores of neighbours were multiplied"),
        ("forms the large matrix all the same", "your code asked for more memory"),
    ),
    "hw4-3": (
        ("uses a plain number, which cancels", "the same heads, but a plain number cancels"),
        ("uses a rotation, which a norm does not notice", "the same heads, but M is a rotation"),
        ("keeps the chain, and not each head", "the chain as a whole is the same"),
        ("takes the transpose, as for W_Q and W_K", "M comes back transposed"),
    ),
    "hw4-4": (
        ("writes an induction head", "that is an induction head"),
        ("lets the current token match itself", "the second head pays"),
        ("forgets the √d_head, so that attention is soft", "the right idea, but attention is too soft"),
        ("copies from a fixed distance", "where the second head looks does not depend"),
    ),
    "hw4-5": (
        ("freezes patterns, and with them what queries and keys do", "patterns were frozen"),
        ("exchanges the whole input, not one head's part of it", "the whole query, key or value"),
        ("takes the part out, and puts nothing in", "what the early head wrote was only taken out"),
        ("changes all heads of the layer", "every head of the later layer"),
    ),
    "hw5-1": (
        ("has no baseline", "no baseline"),
        ("takes logits for log-probabilities", "logits are no log-probabilities"),
        ("exchanges the two sides of a KL divergence", "the two sides of KL are exchanged"),
        ("averages over controls where the nearest was asked", "the distances to the controls were averaged"),
    ),
    "hw5-2": (
        ("has no baseline", "the baseline is missing"),
        ("counts logits for nats", "logits are no nats"),
        ("freezes patterns, and misses what they carry", "patterns were frozen"),
        ("deletes heads without putting the earlier ones back", "heads were deleted one after the other"),
    ),
    "hw5-3": (
        ("names what any model learns from ordinary code", "the controls do as much"),
        ("exchanges trigger and source", "trigger and source are exchanged"),
        ("names a head that is missed, but looks elsewhere", "0:0 is missed"),
        ("overlooks a trigger", "a trigger is missing"),
    ),
    "hw5-4": (
        ("writes down the text's rules, not the model's", "your table tells the triggers apart"),
        ("stops at the likeliest word", "only part of it"),
        ("sees the trigger's part only", "the trigger calls for all of these"),
        ("gives words to the wrong sources", "words of the right kind"),
    ),
    "hw6-1": (
        ("adds what is wanted to what there is", "the wanted effect was added"),
        ("keeps one logit of the other streams, and not all that is written", "the kept streams keep this one logit"),
        ("takes out directions one by one that are not at right angles", "the last of the kept streams is kept"),
        ("makes the matrix change least, and not the product", "all is as asked, with the least change of W_V itself"),
    ),
    "hw6-2": (
        ("looks for like embeddings", "the second token would do, but the head is not led there: like embeddings"),
        (
            "reads the later head without the earlier one",
            "the second token would do, but the head is not led there: your first",
        ),
        (
            "forgets that a token raised may still not be first",
            "the head is led to your pair, but does not say the wrong token there: your second token raises",
        ),
        ("takes the matched token for the one that is said", "the two tokens in the other order"),
    ),
    "hw6-3": (
        ("cuts what is small in the weights", "that is the SVD of the weights"),
        ("forgets that a head reads what its pattern mixes", "the stream at each position was weighed"),
        ("spends a direction on the mean", "the mean was left in before the cut"),
        ("measures lengths before W_O", "z was decomposed"),
    ),
    "hw6-4": (
        ("takes what is missed for what is enough", "the first two are exchanged"),
        ("forgets what is left without any head", "nothing was taken off"),
        ("deletes, where later heads then read what they never saw", "the heads were deleted, not swapped"),
        ("freezes patterns, and with them most of what heads do to heads", "patterns were frozen"),
    ),
}
