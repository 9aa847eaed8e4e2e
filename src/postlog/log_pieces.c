#include "postlog/log_pieces.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

#define STAMP_MIN 20 /* "2026-11-23T03:30:52Z" */
#define STAMP_MAX 40

void log_pieces_clear(struct log_pieces *pieces)
{
    for (size_t i = 0; i < 2; i++)
        free(pieces->streams[i].text);
    *pieces = (struct log_pieces){.changed = false};
}

static void append(struct log_piece *piece, struct log_slice text)
{
    if (text.length > LOG_PIECES_MAX - piece->length)
        text.length = LOG_PIECES_MAX - piece->length;
    if (piece->size < piece->length + text.length) {
        piece->size = (piece->length + text.length) * 2;
        piece->text = xrealloc(piece->text, piece->size);
    }
    if (text.length > 0)
        memcpy(piece->text + piece->length, text.at, text.length);
    piece->length += text.length;
}

bool log_pieces_join(struct log_pieces *pieces, unsigned stream, bool last, struct log_slice *text_r)
{
    struct log_piece *piece = &pieces->streams[stream];

    if (last && piece->length == 0)
        return true;
    append(piece, *text_r);
    pieces->changed = true;
    if (!last)
        return false;
    *text_r = (struct log_slice){piece->text, piece->length};
    piece->length = 0; /* the text stays where it is until the next call */
    return true;
}

/* "STAMP stdout P text": where the text begins, 0 when it is no such line. */
static size_t cri_text(struct log_slice line, unsigned *stream_r, bool *last_r)
{
    const char *space, *end = line.at + line.length;

    if (line.length < STAMP_MIN + 10 || line.at[4] != '-' || line.at[10] != 'T')
        return 0;
    space = memchr(line.at + STAMP_MIN, ' ',
                   line.length - STAMP_MIN < STAMP_MAX ? line.length - STAMP_MIN : STAMP_MAX - STAMP_MIN);
    if (space == NULL || end - space < 10 || space[9] != ' ' || (space[8] != 'P' && space[8] != 'F') ||
        (memcmp(space, " stdout ", 8) != 0 && memcmp(space, " stderr ", 8) != 0))
        return 0;
    *stream_r = space[4] == 'e';
    *last_r = space[8] == 'F';
    return (size_t)(space - line.at) + 10;
}

bool log_pieces_take(struct log_pieces *pieces, struct log_slice *line_r)
{
    unsigned stream = 0;
    bool last = true;
    size_t text = cri_text(*line_r, &stream, &last);

    if (text == 0)
        return true;
    /* the first part keeps its prefix, which is that of the whole line */
    if (pieces->streams[stream].length > 0)
        *line_r = (struct log_slice){line_r->at + text, line_r->length - text};
    return log_pieces_join(pieces, stream, last, line_r);
}

/* --- with the position ------------------------------------------------------------------------------ */

bool log_pieces_load(struct log_pieces *pieces, struct store *store, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(store, "SELECT stream, text FROM log_piece", error_r);
    int result;

    log_pieces_clear(pieces);
    if (statement == NULL)
        return false;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        int stream = sqlite3_column_int(statement, 0), length = sqlite3_column_bytes(statement, 1);
        if ((stream == 0 || stream == 1) && length > 0)
            append(&pieces->streams[stream],
                   (struct log_slice){sqlite3_column_blob(statement, 1), (size_t)length});
    }
    if (result != SQLITE_DONE)
        store_error(store, "load the pieces of lines", error_r);
    sqlite3_reset(statement);
    return result == SQLITE_DONE;
}

static bool save_piece(const struct log_piece *piece, int stream, struct store *store,
                       struct outcome *error_r)
{
    sqlite3_stmt *statement =
        store_statement(store, "INSERT OR REPLACE INTO log_piece (stream, text) VALUES (?, ?)", error_r);

    if (statement == NULL)
        return false;
    sqlite3_bind_int(statement, 1, stream);
    sqlite3_bind_blob64(statement, 2, piece->length > 0 ? piece->text : "", piece->length, SQLITE_STATIC);
    return store_run(store, statement, error_r);
}

bool log_pieces_save(struct log_pieces *pieces, struct store *store, struct outcome *error_r)
{
    if (!pieces->changed)
        return true;
    if (!save_piece(&pieces->streams[0], 0, store, error_r) ||
        !save_piece(&pieces->streams[1], 1, store, error_r))
        return false;
    pieces->changed = false;
    return true;
}
