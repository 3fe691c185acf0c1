"""What several packages use and no user needs."""
