"""An edit: what is asked, what is planned, and the stages that do it."""
