"""The chat: questions, conversations, the advisor, streaming."""
