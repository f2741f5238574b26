"""The commands, one thin function each: they parse, call and print. What needs torch is imported inside them."""
