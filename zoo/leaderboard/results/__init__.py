"""A page of docs for each paper, made from records: question, set-up, figure, tables, verdict."""
