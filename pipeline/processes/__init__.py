"""Worker processes: how they are started, spoken to, confined and found again."""
