//! From a prompt text to what the text encoder is given: weights, tokens, chunks, embeddings.
