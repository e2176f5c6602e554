"""Full-text search: what is indexed of a message, the index, and what people type."""
