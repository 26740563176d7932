"""The stages of an edit: each takes finished rows and passes on finished rows."""
