// Answers how BuildKit reads the words of a Dockerfile. A line of stdin is a case: {"file": its
// text, "args": {build arguments}}. Every stage is based on scratch. A line of stdout is a list of
// steps of the last stage, each a list of texts; it ends with ["refused"] where BuildKit refuses an
// instruction, and is that alone for a file that it cannot parse.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

type question struct {
	File string            `json:"file"`
	Args map[string]string `json:"args"`
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
		out.WriteString(text(answer(asked)) + "\n")
	}
}

func text(value any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

var refused = []string{"refused"}

func answer(asked question) [][]string {
	parsed, err := parser.Parse(strings.NewReader(asked.File))
	if err != nil {
		return [][]string{refused}
	}
	stages, globals, err := instructions.Parse(parsed.AST, nil)
	if err != nil || len(stages) == 0 {
		return [][]string{refused}
	}
	state := state{lexer: shell.NewLex(parsed.EscapeToken), args: asked.Args, steps: [][]string{}}
	for _, command := range globals {
		if err := state.argument(&command, true); err != nil {
			return [][]string{refused}
		}
	}
	state.globals, state.env, state.names = state.env, nil, nil
	state.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	for _, command := range stages[len(stages)-1].Commands {
		if err := state.do(command); err != nil {
			state.steps = append(state.steps, refused)
			break
		}
	}
	return state.steps
}

// state is what BuildKit knows at an instruction.
type state struct {
	lexer   *shell.Lex
	args    map[string]string
	globals []string
	// names has the variables of env in order.
	names []string
	env   []string
	user  string
	dir   string
	steps [][]string
}

// set adds a variable behind the others.
func (s *state) set(name, value string) {
	s.names, s.env = slices.Clone(s.names), slices.Clone(s.env)
	if at := slices.Index(s.names, name); at >= 0 {
		s.names, s.env = slices.Delete(s.names, at, at+1), slices.Delete(s.env, at, at+1)
	}
	s.names, s.env = append(s.names, name), append(s.env, name+"="+value)
}

func (s *state) word(word string) (string, error) {
	result, _, err := s.lexer.ProcessWord(word, shell.EnvsFromSlice(s.env))
	return result, err
}

func (s *state) argument(command *instructions.ArgCommand, isGlobal bool) error {
	for _, one := range command.Args {
		value := one.Value
		if given, ok := s.args[one.Key]; ok {
			value = &given
		} else if value != nil {
			expanded, err := s.word(*value)
			if err != nil {
				return err
			}
			value = &expanded
		} else if global, ok := shell.EnvsFromSlice(s.globals).Get(one.Key); ok && !isGlobal {
			value = &global
		}
		if value != nil {
			s.set(one.Key, *value)
		}
	}
	return nil
}

func (s *state) do(command instructions.Command) error {
	if one, ok := command.(*instructions.ArgCommand); ok {
		return s.argument(one, false)
	}
	if one, ok := command.(instructions.SupportsSingleWordExpansion); ok {
		if err := one.Expand(s.word); err != nil {
			return err
		}
	}
	if one, ok := command.(instructions.SupportsSingleWordExpansionRaw); ok {
		if err := one.ExpandRaw(s.document); err != nil {
			return err
		}
	}
	switch one := command.(type) {
	case *instructions.EnvCommand:
		for _, pair := range one.Env {
			s.set(pair.Key, pair.Value)
		}
	case *instructions.UserCommand:
		s.user = one.User
	case *instructions.WorkdirCommand:
		s.dir = path.Join("/", s.dir, one.Path)
		if path.IsAbs(one.Path) {
			s.dir = path.Clean(one.Path)
		}
		if s.dir != "/" {
			s.add("WORKDIR", s.dir, s.user)
		}
	case *instructions.CopyCommand:
		s.copied("COPY", one.SourcesAndDest, one.Chown, one.ExcludePatterns)
	case *instructions.AddCommand:
		s.copied("ADD", one.SourcesAndDest, one.Chown, one.ExcludePatterns)
	case *instructions.RunCommand:
		s.run(one)
	}
	return nil
}

// document expands the content of a heredoc.
func (s *state) document(word string) (string, error) {
	lexer := shell.NewLex('\\')
	lexer.SkipProcessQuotes = true
	result, _, err := lexer.ProcessWord(word, shell.EnvsFromSlice(s.env))
	return result, err
}

func (s *state) add(texts ...string) { s.steps = append(s.steps, texts) }

func (s *state) copied(keyword string, all instructions.SourcesAndDest, owner string, excluded []string) {
	to := path.Join("/", s.dir, all.DestPath)
	if path.IsAbs(all.DestPath) {
		to = path.Clean(all.DestPath)
	}
	isDirectory := slices.Contains([]string{"", "."}, all.DestPath) || strings.HasSuffix(all.DestPath, "/") || strings.HasSuffix(all.DestPath, "/.")
	if isDirectory && to != "/" {
		to += "/"
	}
	texts := []string{keyword, to, owner, strings.Join(excluded, "\n")}
	texts = append(texts, all.SourcePaths...)
	for _, one := range all.SourceContents {
		texts = append(texts, "<<"+one.Path, one.Data)
	}
	s.add(texts...)
}

func (s *state) run(one *instructions.RunCommand) {
	command := text(one.CmdLine)
	if one.PrependShell {
		command = strings.Join(one.CmdLine, " ")
	}
	for _, file := range one.Files {
		command += "\n" + file.Data + file.Name
	}
	texts := append([]string{"RUN", command, s.user, strings.Join(s.names, " ")}, slices.Sorted(slices.Values(s.env))...)
	for _, mount := range instructions.GetMounts(one) {
		texts = append(texts, fmt.Sprintf("%s to %s", mount.Type, mount.Target))
	}
	s.add(texts...)
}
