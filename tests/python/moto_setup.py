"""Sets moto up for the story `moto.rs`: an IAM user with an access key, a KMS key, and a blob that the user wrapped.

Usage: moto_setup.py ENDPOINT CA_FILE CONTEXT_JSON. Prints one line of JSON. The first four calls are free of moto's
authorization, so they are these and no others; from the fifth on, moto verifies signatures with botocore's own code.
"""

import json
import sys

import boto3

REGION = "eu-central-1"


def client(service, endpoint, ca, key_id, secret):
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=endpoint,
        verify=ca,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
    )


def main(endpoint, ca, context):
    iam = client("iam", endpoint, ca, "bootstrap", "bootstrap")
    kms = client("kms", endpoint, ca, "bootstrap", "bootstrap")
    statement = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_user(UserName="enclave")
    key = iam.create_access_key(UserName="enclave")["AccessKey"]
    iam.put_user_policy(UserName="enclave", PolicyName="kms", PolicyDocument=policy)
    # What nobody says of the key, moto does not answer, and the enclave refuses to guess.
    facts = {"MultiRegion": False, "KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT", "Origin": "AWS_KMS"}
    arn = kms.create_key(**facts)["KeyMetadata"]["Arn"]

    user = client("kms", endpoint, ca, key["AccessKeyId"], key["SecretAccessKey"])
    made = user.generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext=json.loads(context))
    print(
        json.dumps(
            {
                "access_key_id": key["AccessKeyId"],
                "secret_access_key": key["SecretAccessKey"],
                "key_arn": arn,
                "wrapped": made["CiphertextBlob"].hex(),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
