// Command tessera-append appends 32-byte entries to a fresh Tessera log on its POSIX driver and prints how long it took
// until all of them were integrated and under a published checkpoint. The peer of the benchmark `log-append`.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func entry(index int) []byte {
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(index))
	hash := sha256.Sum256(number[:])
	return hash[:]
}

func main() {
	path := flag.String("dir", "", "folder of the log, empty")
	count := flag.Int("entries", 50_000, "entries to append")
	batch := flag.Uint("batch", 100, "entries of one batch at most")
	window := flag.Int("window", 4_000, "entries in flight")
	flag.Parse()

	ctx := context.Background()
	secret, _, err := note.GenerateKey(nil, "log.example/bench")
	check(err)
	signer, err := note.NewSigner(secret)
	check(err)
	driver, err := posix.New(ctx, posix.Config{Path: *path})
	check(err)
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(*batch, 100*time.Millisecond).
		WithPushback(uint(*window) + *batch).
		WithCheckpointInterval(time.Second)
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	check(err)
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 50*time.Millisecond)

	started := time.Now()
	waiting := make([]tessera.IndexFuture, 0, *window)
	var last tessera.IndexFuture
	for i := 0; i < *count; i++ {
		last = appender.Add(ctx, tessera.NewEntry(entry(i)))
		waiting = append(waiting, last)
		if len(waiting) == *window {
			_, err := waiting[0]()
			check(err)
			waiting = append(waiting[:0], waiting[1:]...)
		}
	}
	for _, future := range waiting {
		_, err := future()
		check(err)
	}
	durable := time.Since(started)
	_, _, err = awaiter.Await(ctx, last)
	check(err)
	published := time.Since(started)
	check(shutdown(ctx))
	fmt.Printf("{\"durableMs\":%d,\"publishedMs\":%d}\n", durable.Milliseconds(), published.Milliseconds())
}
