"""What reads a library and its ledger for people: SQL, accounts, reports and stories."""
