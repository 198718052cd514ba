package main

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func crud(f *feature) {
	things := f.emptyCollection("crud")
	insertAndFind(f, things)
	update(f, things)
	findAndChange(f, things)
	remove(f, things)
	indexes(f, things)
}

func insertAndFind(f *feature, things *mongo.Collection) {
	_, err := things.InsertOne(f.ctx, bson.D{{"_id", 0}, {"n", 0}, {"kind", "even"}})
	f.must("insertOne", err)
	var more []any
	for n := 1; n < 10; n++ {
		more = append(more, bson.D{{"_id", n}, {"n", n}, {"kind", []string{"even", "odd"}[n%2]}})
	}
	inserted, err := things.InsertMany(f.ctx, more)
	f.must("insertMany", err)
	f.equal("inserted", 9, len(inserted.InsertedIDs))

	opts := options.Find().SetSort(bson.D{{"n", -1}}).SetSkip(1).SetLimit(2).
		SetProjection(bson.D{{"_id", 0}, {"n", 1}})
	cursor, err := things.Find(f.ctx, bson.D{{"kind", "even"}}, opts)
	f.equal("sort, skip, limit and projection",
		[]bson.M{{"n": int32(6)}, {"n": int32(4)}}, f.all("find", cursor, err))
	f.equal("countDocuments", int64(5), f.count(things, bson.D{{"kind", "odd"}}))
	estimated, err := things.EstimatedDocumentCount(f.ctx)
	f.must("estimatedDocumentCount", err)
	f.equal("estimatedDocumentCount", int64(10), estimated)
	kinds, err := distinctStrings(f.ctx, things, "kind")
	f.must("distinct", err)
	slices.Sort(kinds)
	f.equal("distinct", []string{"even", "odd"}, kinds)
	_, err = things.InsertOne(f.ctx, bson.D{{"_id", 0}})
	f.refused("the same _id again", duplicateKey, err)
}

func update(f *feature, things *mongo.Collection) {
	one, err := things.UpdateOne(f.ctx, bson.D{{"_id", 1}}, bson.D{{"$set", bson.D{{"x", 1}}}})
	f.must("updateOne", err)
	f.equal("updateOne", int64(1), one.ModifiedCount)
	many, err := things.UpdateMany(f.ctx, bson.D{{"kind", "odd"}}, bson.D{{"$inc", bson.D{{"n", 10}}}})
	f.must("updateMany", err)
	f.equal("updateMany", int64(5), many.ModifiedCount)
	replaced, err := things.ReplaceOne(f.ctx, bson.D{{"_id", 2}}, bson.D{{"n", 22}})
	f.must("replaceOne", err)
	f.equal("replaceOne", int64(1), replaced.ModifiedCount)
	found := bson.M{}
	f.must("findOne", things.FindOne(f.ctx, bson.D{{"_id", 2}}).Decode(&found))
	f.equal("replaced", bson.M{"_id": int32(2), "n": int32(22)}, found)
	upserted, err := things.UpdateOne(f.ctx, bson.D{{"_id", 99}}, bson.D{{"$set", bson.D{{"n", 99}}}},
		upsert())
	f.must("upsert", err)
	f.equal("upsert", int32(99), upserted.UpsertedID)
}

func findAndChange(f *feature, things *mongo.Collection) {
	check := func(what string, want bson.M, got *mongo.SingleResult) {
		found := bson.M{}
		f.must(what, got.Decode(&found))
		f.equal(what, want, found)
	}
	check("findOneAndUpdate", bson.M{"_id": int32(1), "n": int32(12), "kind": "odd", "x": int32(1)},
		things.FindOneAndUpdate(f.ctx, bson.D{{"_id", 1}}, bson.D{{"$inc", bson.D{{"n", 1}}}},
			options.FindOneAndUpdate().SetReturnDocument(options.After)))
	check("findOneAndReplace", bson.M{"_id": int32(3), "n": int32(33)},
		things.FindOneAndReplace(f.ctx, bson.D{{"_id", 3}}, bson.D{{"n", 33}},
			options.FindOneAndReplace().SetReturnDocument(options.After)))
	check("findOneAndDelete", bson.M{"_id": int32(99), "n": int32(99)},
		things.FindOneAndDelete(f.ctx, bson.D{{"_id", 99}}))
}

func remove(f *feature, things *mongo.Collection) {
	one, err := things.DeleteOne(f.ctx, bson.D{{"_id", 1}})
	f.must("deleteOne", err)
	f.equal("deleteOne", int64(1), one.DeletedCount)
	many, err := things.DeleteMany(f.ctx, bson.D{{"kind", "even"}})
	f.must("deleteMany", err)
	f.equal("deleteMany", int64(4), many.DeletedCount)
	f.equal("left", int64(5), f.count(things, bson.D{}))
}

func indexes(f *feature, things *mongo.Collection) {
	names := func() (names []string) {
		specifications, err := things.Indexes().ListSpecifications(f.ctx)
		f.must("listIndexes", err)
		for _, one := range specifications {
			names = append(names, one.Name)
		}
		return names
	}
	name, err := things.Indexes().CreateOne(f.ctx, mongo.IndexModel{Keys: bson.D{{"n", 1}}})
	f.must("createIndex", err)
	f.equal("createIndex", "n_1", name)
	f.equal("indexes", []string{"_id_", "n_1"}, names())
	f.must("dropIndex", dropIndex(f.ctx, things, "n_1"))
	f.equal("indexes after the drop", []string{"_id_"}, names())
}
