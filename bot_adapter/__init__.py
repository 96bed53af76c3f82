"""The only place that imports telethon: downloads in, answers out. Empty until the Telegram issue is taken."""
