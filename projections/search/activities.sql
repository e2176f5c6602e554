-- Which words are in the subject of which activity; the rowid is the event's position. Like
-- search_index it holds no text, and Chinese, Japanese and Korean characters are set apart.

CREATE VIRTUAL TABLE {activity_index} USING fts5 (
    content,
    content = '',
    tokenize = 'unicode61 remove_diacritics 2',
    detail = full,
    columnsize = 1
);
