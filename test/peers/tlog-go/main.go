// Command tlogcheck reads a log written by spine with the Go project's own sumdb/tlog and sumdb/note packages:
// it opens the checkpoint, verifies tiles against its root, makes every asked proof anew and compares.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type inclusion struct {
	Index int64    `json:"index"`
	Leaf  string   `json:"leaf"`
	Path  []string `json:"path"`
}

type consistency struct {
	First int64    `json:"first"`
	Root  string   `json:"root"`
	Proof []string `json:"proof"`
}

type cases struct {
	Vkey        string        `json:"vkey"`
	Inclusion   []inclusion   `json:"inclusion"`
	Consistency []consistency `json:"consistency"`
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func hashOf(text string) (hash tlog.Hash) {
	if n := copy(hash[:], must(base64.StdEncoding.DecodeString(text))); n != tlog.HashSize {
		check(fmt.Errorf("hash of %d bytes", n))
	}
	return hash
}

func hashesOf(texts []string) []tlog.Hash {
	hashes := []tlog.Hash{}
	for _, text := range texts {
		hashes = append(hashes, hashOf(text))
	}
	return hashes
}

// tiles reads c2sp.org/tlog-tiles paths, which leave out the height that package tlog writes.
type tiles struct{ folder string }

func (tiles) Height() int { return 8 }
func (t tiles) path(tile tlog.Tile) string {
	return t.folder + "/" + strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range wanted {
		data, err := read(t.path(tile))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// read fetches a resource of the log, from a folder or over HTTP.
func read(name string) ([]byte, error) {
	if !strings.HasPrefix(name, "http://") {
		return os.ReadFile(name)
	}
	answer, err := http.Get(name)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", name, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// main takes the log's folder or URL and, for a URL, the file of cases.
func main() {
	folder := os.Args[1]
	list := filepath.Join(folder, "cases.json")
	if len(os.Args) > 2 {
		list = os.Args[2]
	}
	var asked cases
	check(json.Unmarshal(must(os.ReadFile(list)), &asked))
	verifier := must(note.NewVerifier(asked.Vkey))
	signed := must(note.Open(must(read(folder + "/checkpoint")), note.VerifierList(verifier)))
	lines := strings.Split(signed.Text, "\n")
	size := must(strconv.ParseInt(lines[1], 10, 64))
	tree := tlog.Tree{N: size, Hash: hashOf(lines[2])}
	reader := tlog.TileHashReader(tree, tiles{folder})

	for _, c := range asked.Inclusion {
		leaf := hashOf(c.Leaf)
		check(tlog.CheckRecord(hashesOf(c.Path), size, tree.Hash, c.Index, leaf))
		own := must(tlog.ProveRecord(size, c.Index, reader))
		if fmt.Sprint(own) != fmt.Sprint(hashesOf(c.Path)) {
			check(fmt.Errorf("inclusion proof of leaf %d differs", c.Index))
		}
		check(entryIs(folder, size, c.Index, leaf))
	}
	for _, c := range asked.Consistency {
		root := hashOf(c.Root)
		check(tlog.CheckTree(hashesOf(c.Proof), size, tree.Hash, c.First, root))
		own := must(tlog.ProveTree(size, c.First, reader))
		if fmt.Sprint(own) != fmt.Sprint(hashesOf(c.Proof)) {
			check(fmt.Errorf("consistency proof of size %d differs", c.First))
		}
	}
	fmt.Printf("{\"size\":%d,\"inclusion\":%d,\"consistency\":%d}\n", size, len(asked.Inclusion), len(asked.Consistency))
}

// entryIs compares one entry of a bundle with its leaf hash.
func entryIs(folder string, size int64, index int64, leaf tlog.Hash) error {
	width := min(256, int(size-index/256*256))
	tile := tlog.Tile{H: 8, L: 0, N: index / 256, W: width}
	name := strings.Replace(tiles{folder}.path(tile), "/tile/0/", "/tile/entries/", 1)
	data, err := read(name)
	if err != nil {
		return err
	}
	in := bytes.NewReader(data)
	for i := index / 256 * 256; ; i++ {
		var length uint16
		if err := binary.Read(in, binary.BigEndian, &length); err != nil {
			return fmt.Errorf("bundle of leaf %d: %w", index, err)
		}
		entry := make([]byte, length)
		if _, err := in.Read(entry); err != nil {
			return err
		}
		if i == index {
			if tlog.RecordHash(entry) != leaf {
				return fmt.Errorf("entry %d is not its leaf", index)
			}
			return nil
		}
	}
}
