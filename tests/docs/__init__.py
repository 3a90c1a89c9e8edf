"""The pages of docs/ are true: what they tell people to type is run, and prints what they say."""
