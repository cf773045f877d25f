package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Bucket keeps objects in S3, below a prefix, which is empty or ends with a slash.
type Bucket struct {
	Client       *s3.Client
	Name, Prefix string
}

// Put implements Objects.
func (b Bucket) Put(ctx context.Context, name string, data []byte) error {
	_, err := b.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.Name, Key: aws.String(b.Prefix + name), Body: bytes.NewReader(data)})
	if err != nil {
		return fmt.Errorf("write to bucket %s: %w", b.Name, err)
	}
	return nil
}

// Get implements Objects.
func (b Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	out, err := b.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: aws.String(b.Prefix + name)})
	var missing *types.NoSuchKey
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("%w in bucket %s: %w", ErrMissing, b.Name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read from bucket %s: %w", b.Name, err)
	}
	data, err := io.ReadAll(out.Body)
	if err = errors.Join(err, out.Body.Close()); err != nil {
		return nil, fmt.Errorf("read from bucket %s: %w", b.Name, err)
	}
	return data, nil
}

// mostDeleted is how many objects one request may remove.
const mostDeleted = 1000

// Delete implements Objects.
func (b Bucket) Delete(ctx context.Context, names []string) error {
	for len(names) > 0 {
		n := min(len(names), mostDeleted)
		ids := make([]types.ObjectIdentifier, n)
		for i, name := range names[:n] {
			ids[i].Key = aws.String(b.Prefix + name)
		}
		out, err := b.Client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &b.Name, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}})
		if err != nil {
			return fmt.Errorf("remove from bucket %s: %w", b.Name, err)
		}
		if len(out.Errors) > 0 {
			return fmt.Errorf("remove from bucket %s: %s: %s", b.Name, aws.ToString(out.Errors[0].Key), aws.ToString(out.Errors[0].Message))
		}
		names = names[n:]
	}
	return nil
}
