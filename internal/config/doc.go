// Package config reads a program's YAML file into a struct, strictly: a key that the
// struct does not know, a value of another type, a duplicate or an unset variable is an
// error with the file, the line and the full key, and all of them are told at once.
//
// The struct is the only description: its tags name the keys and hold defaults, allowed
// values and one sentence of documentation, from which Document writes the reference.
//
//	Brokers []string `yaml:"brokers" default:"127.0.0.1:9092" doc:"Brokers to start from."`
//	Mode    string   `yaml:"mode" default:"fast" enum:"fast|safe" doc:"How to write."`
//
// Fields may be text, numbers, true/false, any encoding.TextUnmarshaler (Bytes, Duration
// and Secret among them), lists and string-keyed maps of those, structs (a section),
// pointers to structs (a section that may be absent) and lists of structs. An embedded
// struct with the tag `yaml:",inline"` lends its keys to the struct around it.
//
// A scalar value may hold ${NAME} or ${NAME:-default}; $${ stands for a literal ${. Keys
// are never expanded, and an expanded value is never read as YAML again, so a variable
// can neither add keys nor change the structure.
//
// The package must never print a Secret, nor the value of a variable: its messages quote
// the file's own text only, and nothing at all of a secret's. It must not act on a
// configuration, watch files, or know the meaning of a key.
package config
