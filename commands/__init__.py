"""The commands, one thin function each: parse, call, print. Modules that need torch are imported inside them."""
