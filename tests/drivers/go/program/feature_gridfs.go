package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func gridFS(f *feature) {
	db := f.database(f.client(nil))
	files, err := openBucket(db, "files")
	f.must("bucket", err)
	content := make([]byte, 3<<20)
	rand.Read(content)
	sumOf := func(download func(into io.Writer) error) [sha256.Size]byte {
		var got bytes.Buffer
		f.must("download", download(&got))
		return sha256.Sum256(got.Bytes())
	}
	want := sha256.Sum256(content)

	id, err := files.upload(f.ctx, "first", bytes.NewReader(content))
	f.must("upload", err)
	f.equal("hash by id", want, sumOf(func(into io.Writer) error {
		return files.download(f.ctx, id, into)
	}))
	f.must("rename", files.rename(f.ctx, id, "second"))
	f.equal("hash by name", want, sumOf(func(into io.Writer) error {
		return files.downloadByName(f.ctx, "second", into)
	}))
	f.must("delete", files.delete(f.ctx, id))
	f.equal("files after the deletion", int64(0), f.count(db.Collection("files.files"), bson.D{{"_id", id}}))
	f.equal("chunks after the deletion", int64(0),
		f.count(db.Collection("files.chunks"), bson.D{{"files_id", id}}))
}
