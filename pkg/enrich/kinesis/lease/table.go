package lease

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Table is the DynamoDB table. It is safe for concurrent use.
type Table struct {
	Client *dynamodb.Client
	Name   string
}

// Attributes of an item. The first are KCL's; its workers leave ours alone.
const (
	attrKey       = "leaseKey"
	attrOwner     = "leaseOwner"
	attrFinishing = "checkpointOwner"
	attrCounter   = "leaseCounter"
	attrCheck     = "checkpoint"
	attrSub       = "checkpointSubSequenceNumber"
	attrSwitches  = "ownerSwitchesSinceCheckpoint"
	attrParents   = "parentShardId"
	attrChildren  = "childShardIds"
	attrStart     = "startingHashKey"
	attrEnd       = "endingHashKey"

	attrOffset  = "stackjoinOffset"
	attrJournal = "stackjoinJournal"
	attrSent    = "stackjoinSent"
	attrEpoch   = "stackjoinEpoch"
)

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// Create makes the table where there is none, paid by request, and waits until it can
// be used.
func (t *Table) Create(ctx context.Context) error {
	for created := false; ; {
		out, err := t.Client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &t.Name})
		var missing *types.ResourceNotFoundException
		switch {
		case err == nil && out.Table.TableStatus == types.TableStatusActive:
			return nil
		case errors.As(err, &missing) && !created:
			created = true
			if err := t.create(ctx); err != nil {
				return err
			}
		case err != nil && missing == nil: // a new one may not have got around yet
			return t.wrap("describe", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (t *Table) create(ctx context.Context) error {
	_, err := t.Client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:            &t.Name,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(attrKey), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(attrKey), KeyType: types.KeyTypeHash}},
		BillingMode:          types.BillingModePayPerRequest,
	})
	var there *types.ResourceInUseException // another process was faster
	if err != nil && !errors.As(err, &there) {
		return t.wrap("create", err)
	}
	return nil
}

func (t *Table) wrap(doing string, err error) error {
	return fmt.Errorf("lease table %s: %s: %w", t.Name, doing, err)
}

// All returns every lease, as of now.
func (t *Table) All(ctx context.Context) ([]*Lease, error) {
	var all []*Lease
	pages := dynamodb.NewScanPaginator(t.Client, &dynamodb.ScanInput{TableName: &t.Name, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, t.wrap("scan", err)
		}
		for _, i := range page.Items {
			all = append(all, decode(i))
		}
	}
	return all, nil
}

// Get returns one lease as of now, nil where there is none.
func (t *Table) Get(ctx context.Context, key string) (*Lease, error) {
	out, err := t.Client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.Name, Key: item{attrKey: text(key)}, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, t.wrap("read "+key, err)
	}
	if out.Item == nil {
		return nil, nil
	}
	return decode(out.Item), nil
}

// decode reads an item. What is missing or of another type is zero: KCL leaves out
// what it does not need.
func decode(i item) *Lease {
	str := func(name string) string {
		v, _ := i[name].(*types.AttributeValueMemberS)
		if v == nil {
			return ""
		}
		return v.Value
	}
	num := func(name string) int64 {
		v, _ := i[name].(*types.AttributeValueMemberN)
		if v == nil {
			return 0
		}
		n, _ := strconv.ParseInt(v.Value, 10, 64) // DynamoDB has checked it
		return n
	}
	set := func(name string) []string {
		v, _ := i[name].(*types.AttributeValueMemberSS)
		if v == nil {
			return nil
		}
		return v.Value
	}
	sent, _ := i[attrSent].(*types.AttributeValueMemberBOOL)
	return &Lease{
		Key: str(attrKey), Owner: str(attrOwner), Finishing: str(attrFinishing), Counter: num(attrCounter), Switches: num(attrSwitches),
		Parents: set(attrParents), Children: set(attrChildren), StartingHash: str(attrStart), EndingHash: str(attrEnd),
		Progress: Progress{
			Checkpoint: Checkpoint{str(attrCheck), num(attrSub)},
			Offset:     num(attrOffset), Journal: str(attrJournal), Sent: sent != nil && sent.Value, Epoch: num(attrEpoch),
		},
	}
}

// add makes the lease of a shard, unless there is one.
func (t *Table) add(ctx context.Context, s Shard, checkpoint string) error {
	i := item{
		attrKey: text(s.ID), attrCounter: number(0), attrCheck: text(checkpoint), attrSub: number(0), attrSwitches: number(0),
		attrStart: text(s.StartingHash), attrEnd: text(s.EndingHash),
	}
	if len(s.Parents) > 0 {
		i[attrParents] = &types.AttributeValueMemberSS{Value: s.Parents}
	}
	_, err := t.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.Name, Item: i, ConditionExpression: aws.String("attribute_not_exists(" + attrKey + ")"),
	})
	if err != nil && !refused(err) {
		return t.wrap("add "+s.ID, err)
	}
	return nil
}

// drop removes the lease of a shard that is over.
func (t *Table) drop(ctx context.Context, key string) error {
	_, err := t.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &t.Name, Key: item{attrKey: text(key)},
		ConditionExpression: aws.String(attrCheck + " = :end"), ExpressionAttributeValues: item{":end": text(ShardEnd)},
	})
	if err != nil && !refused(err) {
		return t.wrap("remove "+key, err)
	}
	return nil
}

func refused(err error) bool {
	var no *types.ConditionalCheckFailedException
	return errors.As(err, &no)
}

// update changes a lease where the condition holds, and returns what it then is.
// Otherwise its error is ErrLost.
func (t *Table) update(ctx context.Context, key, change, condition string, values item) (*Lease, error) {
	out, err := t.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &t.Name, Key: item{attrKey: text(key)},
		UpdateExpression: &change, ConditionExpression: &condition, ExpressionAttributeValues: values,
		ReturnValues: types.ReturnValueAllNew,
	})
	if refused(err) {
		return nil, fmt.Errorf("lease of %s: %w", key, ErrLost)
	}
	if err != nil {
		return nil, t.wrap("update "+key, err)
	}
	return decode(out.Attributes), nil
}

// Conditions on who reads the shard.
const (
	iHold   = "((" + attrOwner + " = :me AND attribute_not_exists(" + attrFinishing + ")) OR " + attrFinishing + " = :me)"
	counted = attrCounter + " = " + attrCounter + " + :one"
	asSeen  = attrCounter + " = :seen"
)

// take takes a lease that nobody holds, or whose holder stood still, as it was seen.
func (t *Table) take(ctx context.Context, l *Lease, me string) (*Lease, error) {
	return t.update(ctx, l.Key,
		"SET "+attrOwner+" = :me, "+counted+", "+attrSwitches+" = "+attrSwitches+" + :one REMOVE "+attrFinishing,
		asSeen, item{":me": text(me), ":one": number(1), ":seen": number(l.Counter)})
}

// ask makes me the owner of a lease whose holder is to finish first.
func (t *Table) ask(ctx context.Context, l *Lease, me string) (*Lease, error) {
	return t.update(ctx, l.Key,
		"SET "+attrOwner+" = :me, "+attrFinishing+" = :old, "+attrSwitches+" = "+attrSwitches+" + :one",
		attrOwner+" = :old AND attribute_not_exists("+attrFinishing+")", item{":me": text(me), ":old": text(l.Owner), ":one": number(1)})
}

// renew tells that I still read the shard.
func (t *Table) renew(ctx context.Context, key, me string) (*Lease, error) {
	return t.update(ctx, key, "SET "+counted, iHold, item{":me": text(me), ":one": number(1)})
}

// move writes how far I am, where the journal was from.
func (t *Table) move(ctx context.Context, key, me, from string, to Progress, children []string) (*Lease, error) {
	change := "SET " + attrCheck + " = :checkpoint, " + attrSub + " = :sub, " + attrSwitches + " = :zero, " +
		attrOffset + " = :offset, " + attrSent + " = :sent, " + attrEpoch + " = :epoch"
	values := item{
		":me": text(me), ":checkpoint": text(to.Sequence), ":sub": number(to.Sub), ":zero": number(0), ":offset": number(to.Offset),
		":sent": &types.AttributeValueMemberBOOL{Value: to.Sent}, ":epoch": number(to.Epoch),
	}
	condition := iHold
	if to.Journal != "" {
		change += ", " + attrJournal + " = :journal"
		values[":journal"] = text(to.Journal)
	}
	if from != "" {
		condition += " AND " + attrJournal + " = :from"
		values[":from"] = text(from)
	} else {
		condition += " AND attribute_not_exists(" + attrJournal + ")"
	}
	if len(children) > 0 {
		change += ", " + attrChildren + " = :children"
		values[":children"] = &types.AttributeValueMemberSS{Value: children}
	}
	if to.Journal == "" {
		change += " REMOVE " + attrJournal // an old one must not be taken for this state
	}
	return t.update(ctx, key, change, condition, values)
}

// release gives up what I hold: to who asked for it, or to anybody.
func (t *Table) release(ctx context.Context, key, me string) error {
	_, err := t.update(ctx, key, "REMOVE "+attrFinishing, attrFinishing+" = :me", item{":me": text(me)})
	if errors.Is(err, ErrLost) {
		_, err = t.update(ctx, key, "REMOVE "+attrOwner, attrOwner+" = :me AND attribute_not_exists("+attrFinishing+")", item{":me": text(me)})
	}
	if errors.Is(err, ErrLost) { // asked for in between
		_, err = t.update(ctx, key, "REMOVE "+attrFinishing, attrFinishing+" = :me", item{":me": text(me)})
	}
	return err
}
