/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The program: all it does is to have the test's library in front of the C
 * library, so that record.c sees what plugins send.
 */

int parity_main(int argc, char *argv[]);

int main(int argc, char *argv[])
{
	return parity_main(argc, argv);
}
