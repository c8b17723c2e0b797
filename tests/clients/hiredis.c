/* hiredis against the primed on this port, in RESP2. */
#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redisReply *ask(redisContext *primed, const char *request) {
    redisReply *reply = redisCommand(primed, request);
    assert(reply && "the connection is there");
    return reply;
}

static void gives(redisContext *primed, const char *request, long long number) {
    redisReply *reply = ask(primed, request);
    assert(reply->type == REDIS_REPLY_INTEGER && reply->integer == number);
    freeReplyObject(reply);
}

static void fails(redisContext *primed, const char *request, const char *code) {
    redisReply *reply = ask(primed, request);
    assert(reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, code, strlen(code)) == 0);
    freeReplyObject(reply);
}

int main(int count, char **words) {
    assert(count == 2);
    int port = atoi(words[1]);
    redisContext *primed = redisConnect("127.0.0.1", port);
    assert(primed && !primed->err);
    gives(primed, "nth 100000", 1299709);
    gives(primed, "isprime 2^127-1", 1);
    fails(primed, "nht 5", "UNKNOWN-VERB ");
    fails(primed, "nth x", "BAD-ARG ");
    fails(primed, "MULTI", "DENIED ");
    fails(primed, "SUBSCRIBE news", "UNKNOWN-VERB ");

    redisReply *reply = ask(primed, "primes 100 110");
    assert(reply->type == REDIS_REPLY_ARRAY && reply->elements == 4 && reply->element[3]->integer == 109);
    freeReplyObject(reply);
    reply = ask(primed, "prev 2^64");
    assert(reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "18446744073709551557") == 0);
    freeReplyObject(reply);

    for (int n = 1; n <= 1000; n++)
        redisAppendCommand(primed, "nth %d", n);
    for (int n = 1; n <= 1000; n++) {
        assert(redisGetReply(primed, (void **)&reply) == REDIS_OK && reply->type == REDIS_REPLY_INTEGER);
        assert(n < 1000 || reply->integer == 7919);
        freeReplyObject(reply);
    }

    /* A question that takes longer than the client waits: the connection is lost, and another is as good. */
    redisSetTimeout(primed, (struct timeval){0, 500000});
    assert(redisCommand(primed, "pi 1e19") == NULL && primed->err == REDIS_ERR_IO);
    assert(redisReconnect(primed) == REDIS_OK);
    gives(primed, "nth 7", 17);
    redisFree(primed);
    puts("fine");
}
