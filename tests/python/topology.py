"""What the driver believes it is talking to."""

import pymongo

from common import main


def run(uri):
    with pymongo.MongoClient(uri) as client:
        client.admin.command("ping")
        description = client.topology_description
        servers = description.server_descriptions().values()
        hello = client.admin.command("hello")
        return {
            "topology": description.topology_type_name,
            "servers": sorted(each.server_type_name for each in servers),
            "max_wire_version": hello["maxWireVersion"],
            "session_timeout_minutes": hello["logicalSessionTimeoutMinutes"],
            "hello_fields": sorted(hello),
        }


main(run)
