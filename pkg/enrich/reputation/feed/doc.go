// Package feed reads lists of indicators in the forms that their owners publish:
// it turns documents into Indicators, one row at a time.
//
// It must never fetch, resolve or look anything up, guess at what a broken row
// meant, or say whether an indicator is wise to match: a Sink decides that.
package feed
