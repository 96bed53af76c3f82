"""JSON in every form: lines, documents of any size, GeoJSON, what Telegram exports."""
