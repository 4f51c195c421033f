"""Models: any OpenAI-compatible service, streamed, with deadlines, a breaker each, and a ledger of what they cost."""
