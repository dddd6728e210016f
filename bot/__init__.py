"""boardkeeper: a headless participant for NeoBoard whiteboards in Matrix rooms."""

__version__ = "0.1.0"
