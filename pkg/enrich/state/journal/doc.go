// Package journal keeps a partition's state where an input has no changelog of its
// own: entries, each what one batch changed and has to tell, as objects in a folder or
// in S3, with all of the state in one of them every now and then.
//
// An entry's name is only known to who wrote it, until it is committed by being noted
// elsewhere (a lease's item). So an owner that was replaced can write as much as it
// likes: nobody reads it. The package must never overwrite an object, and never take a
// damaged one for one that says nothing.
package journal
