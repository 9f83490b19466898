"""The twin: a phone line, a speech model and a CRM on loopback, judging the product from outside."""
