"""tools/usage: write down what every account uses today, and tell billing what it used on a day."""
