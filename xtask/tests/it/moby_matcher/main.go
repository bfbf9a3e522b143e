// Answers what moby's pattern matcher says of paths. A line of stdin is a case: {"ignore": the text
// of an ignore file, "paths": [...]}. A line of stdout is its answer: "bad" for a file that is
// refused, else two letters a path: the first with its parents' results, as BuildKit walks a
// context, the second without. "y" is a match, "n" is none, "e" is an error.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

type question struct {
	Ignore string   `json:"ignore"`
	Paths  []string `json:"paths"`
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
		fmt.Fprintln(out, answer(asked))
	}
}

func answer(asked question) string {
	patterns, err := ignorefile.ReadAll(strings.NewReader(asked.Ignore))
	if err != nil {
		return "bad"
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return "bad"
	}
	var letters strings.Builder
	for _, path := range asked.Paths {
		letters.WriteByte(walked(matcher, path))
		matched, _, err := matcher.MatchesUsingParentResults(path, patternmatcher.MatchInfo{})
		letters.WriteByte(letter(matched, err))
	}
	return letters.String()
}

// walked asks for each parent first, as a walk from the top does.
func walked(matcher *patternmatcher.PatternMatcher, path string) byte {
	var info patternmatcher.MatchInfo
	var matched bool
	for at := range path + "/" {
		if at < len(path) && path[at] != '/' {
			continue
		}
		var err error
		if matched, info, err = matcher.MatchesUsingParentResults(path[:at], info); err != nil {
			return 'e'
		}
	}
	return letter(matched, nil)
}

func letter(matched bool, err error) byte {
	switch {
	case err != nil:
		return 'e'
	case matched:
		return 'y'
	}
	return 'n'
}
