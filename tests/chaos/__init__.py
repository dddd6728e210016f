"""The bot among failures for long: kills at random moments, servers that restart; with reports."""
