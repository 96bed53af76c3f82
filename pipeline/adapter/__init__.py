"""The supervisor's side of the Telegram adapter: its process, what is told across, and what the ledger keeps of it."""
