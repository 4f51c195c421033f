"""One module for each kind of question; each takes the conversation and the request and gives the answer's text."""
