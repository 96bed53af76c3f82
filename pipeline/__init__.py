"""The machine: processes, queues, ledger, control. Knows no Telegram, no file format, no screen."""

__version__ = "0.1.0"
