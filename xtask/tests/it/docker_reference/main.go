// Answers which names docker takes for an image. A line of stdin is a case: {"name": a text}. A
// line of stdout has two letters: whether it is a reference, and whether it may name an existing
// image.
package main

import (
	"bufio"
	// Digests of an algorithm are known where it is linked, as in docker.
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"os"

	"github.com/distribution/reference"
)

type question struct {
	Name string `json:"name"`
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		var asked question
		if err := json.Unmarshal(in.Bytes(), &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		// buildx parses the name as it is, BuildKit completes it.
		_, parsed := reference.Parse(asked.Name)
		_, completed := reference.ParseNormalizedNamed(asked.Name)
		_, existing := reference.ParseAnyReference(asked.Name)
		fmt.Fprintln(out, letter(parsed == nil && completed == nil)+letter(existing == nil))
	}
}

func letter(good bool) string {
	if good {
		return "y"
	}
	return "n"
}
