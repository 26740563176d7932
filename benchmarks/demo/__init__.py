"""`make demo`: a photograph is spoilt, and a service that comes up for it makes it good again and twice as large."""
