// go-redis against the primed on this port. Debian has version 5, which speaks RESP2.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"gopkg.in/redis.v5"
)

func ask(primed *redis.Client, words ...interface{}) (interface{}, error) {
	question := redis.NewCmd(words...)
	primed.Process(question)
	return question.Result()
}

func gives(primed *redis.Client, answer string, words ...interface{}) {
	if got, err := ask(primed, words...); err != nil || fmt.Sprint(got) != answer {
		panic(fmt.Sprint(words, " gave ", got, err))
	}
}

func fails(primed *redis.Client, code string, words ...interface{}) {
	if got, err := ask(primed, words...); err == nil || !strings.HasPrefix(err.Error(), code) {
		panic(fmt.Sprint(words, " gave ", got, err))
	}
}

func main() {
	options := redis.Options{Addr: "127.0.0.1:" + os.Args[1]}
	primed := redis.NewClient(&options)
	gives(primed, "1299709", "nth", 100000)
	gives(primed, "1", "isprime", "2^127-1")
	gives(primed, "[101 103 107 109]", "primes", 100, 110)
	gives(primed, "18446744073709551557", "prev", "2^64")
	fails(primed, "UNKNOWN-VERB ", "nht", 5)
	fails(primed, "BAD-ARG ", "nth", "x")

	var last *redis.Cmd
	_, err := primed.Pipelined(func(pipeline *redis.Pipeline) error {
		for n := 1; n <= 1000; n++ {
			last = redis.NewCmd("nth", n)
			pipeline.Process(last)
		}
		return nil
	})
	if err != nil || last.Val() != int64(7919) {
		panic(fmt.Sprint(last, err))
	}

	// A pool: more at once than it has connections.
	answers := make(chan error)
	for n := 1; n <= 200; n++ {
		go func(n int) {
			_, err := ask(primed, "nth", n)
			answers <- err
		}(n)
	}
	for n := 1; n <= 200; n++ {
		if err := <-answers; err != nil {
			panic(err)
		}
	}

	_, err = primed.TxPipelined(func(pipeline *redis.Pipeline) error {
		pipeline.Process(redis.NewCmd("nth", 5))
		return nil
	})
	if err == nil {
		panic("a transaction was answered")
	}
	gives(primed, "13", "nth", 6)

	// A question that takes longer than the client waits: its connection is lost, the next has another.
	options.ReadTimeout = 500 * time.Millisecond
	impatient := redis.NewClient(&options)
	if _, err := ask(impatient, "pi", "1e19"); err == nil {
		panic("it did not take long")
	}
	gives(impatient, "17", "nth", 7)
	fmt.Println("fine")
}
