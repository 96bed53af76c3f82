"""The only place that imports telethon: downloads in, answers out."""
