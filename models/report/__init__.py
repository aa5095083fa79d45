"""What a chain comes to: counts over its entries, the report made of them, and the comparison of two reports.

    totals    counts of one partition or of several, each with the places it was counted in
    tally     the entries of one partition, counted on the way past a check of its seals and links
    entries   what is read of an entry
    balances  what the accounts of several chains come to, and whether anything of them was lost
    what_if   the same decisions under shifted trust tiers, from what the entries sealed
    document  the report: canonical JSON with a digest of itself
    markdown  the report as a page to read
    compare   what a report says beside what the chains come to

Everything is counted from the entries and, for the what-if, the texts of the policies they name. Nothing here reads an
event, a clock or a topic, so whoever holds an export comes to the same bytes.
"""
