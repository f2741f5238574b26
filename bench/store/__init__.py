"""The results folder: one sealed file per finished cell, written whole or not at all."""
