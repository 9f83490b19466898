"""The API for programs: its routes as data, who may ask what, what is answered, and the document that says so."""
