-- How old what is known of the store is: the blob that was re-read longest ago, found without a look at all of them.

ALTER TABLE verification ADD KEY verified_longest_ago (verified_at);
