"""The sections of the HTML page, and what they are made of."""
