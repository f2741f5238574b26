"""Policy gradients on sequences of tokens, as libraries for language models compute them: weights of ∇ log q_t."""
